"""The secrets of the networks on loopback. A test looks for them wherever something is stored."""

from __future__ import annotations

from tests.support.wire.instagram import MY_ID

# Each has two halves that no other has, around a character that some format escapes.
LOGIN, RENEWED, FACEBOOK, PAGE, OTHER_PAGE, APP, BEARER, CONSUMER, PASSWORD, SESSION, REFRESH, SPARE = PLANTED = [
    f"planted{number:02}head{between}planted{number:02}tail"
    for number, between in enumerate(["&", "/", "|", "+", "%2F", '"', "%", "=", "-", ".", "~", "<"])
]
SECRETS = {
    "instagram": {"access_token": LOGIN, "facebook_token": FACEBOOK, "user_id": MY_ID, "app_secret": APP},
    "facebook": {"access_token": SPARE, "CatCafe": PAGE, "DogCafe": OTHER_PAGE},
    "x": {"bearer_token": BEARER, "consumer_secret": CONSUMER},
    "bluesky": {"identifier": "alice.example", "app_password": PASSWORD},
}
