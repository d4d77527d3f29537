"""A network's secret: read once, never shown, replaced by one writer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from imagelake.accounts import secrets
from imagelake.accounts.secrets import Secret
from imagelake.run.errors import CredentialsError, StorageDeniedError, StorageUnavailableError
from tests.support.private_parts import forget_secrets

NAME = "imagelake/x"


@pytest.fixture
def stub(environment: None) -> Iterator[Stubber]:
    """Secrets Manager with scripted answers."""
    secrets._provider.cache_clear()
    with Stubber(secrets._provider().client) as stubber:
        yield stubber
    secrets._provider.cache_clear()


def secret(secrets_manager: Any, value: Any) -> Secret:
    secrets_manager.create_secret(Name=NAME, SecretString=value if isinstance(value, str) else json.dumps(value))
    return Secret(NAME, ("bearer_token",))


@pytest.mark.slow
def test_fields_are_read_at_the_first_use(secrets_manager: Any) -> None:
    found = secret(secrets_manager, {"bearer_token": " AAAA\n", "user_id": 17, "empty": "", "list": [1]})
    assert found.secret_values(frozenset()) == []
    assert dict(found) == {"bearer_token": "AAAA", "user_id": "17"}
    assert ("bearer_token" in found, "empty" in found, found.get("empty", "none"), len(found)) == (
        True,
        False,
        "none",
        2,
    )
    assert found.secret_values(frozenset({"user_id"})) == ["AAAA"]


def test_text_form_shows_nothing(secrets_manager: Any) -> None:
    found = secret(secrets_manager, {"bearer_token": "AAAA"})
    assert found["bearer_token"] == "AAAA"
    assert "AAAA" not in f"{found} {found!r}"


def test_secret_when_there_is_none_says_how_to_create_it(secrets_manager: Any) -> None:
    missing = Secret(NAME, ("bearer_token",))
    assert missing.get("bearer_token") is None
    with pytest.raises(CredentialsError) as caught:
        missing["bearer_token"]
    assert "there is no secret imagelake/x, whose field bearer_token is needed" in str(caught.value)
    assert """aws secretsmanager create-secret --name imagelake/x --secret-string '{"bearer_token": "..."}'""" in str(
        caught.value
    )


def test_field_when_it_is_missing_says_how_to_add_it(secrets_manager: Any) -> None:
    found = secret(secrets_manager, {"token": "AAAA"})
    with pytest.raises(CredentialsError, match="has no field bearer_token: aws secretsmanager put-secret-value"):
        found["bearer_token"]


@pytest.mark.parametrize("value", ["AAAAsecret", "[]", '"AAAAsecret"', "", '{"bearer_token": "AAAA\\u00fcsecret"}'])
def test_secret_when_it_is_no_object_of_texts_is_refused_without_its_text(secrets_manager: Any, value: str) -> None:
    broken = secret(secrets_manager, value or " ")
    with pytest.raises(CredentialsError, match="imagelake/x") as caught:
        broken["bearer_token"]
    assert "AAAA" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_overriding_fields_replace_stored_ones_and_both_are_known(secrets_manager: Any) -> None:
    found = secret(secrets_manager, {"bearer_token": "AAAA"})
    found.override({"bearer_token": "BBBB"})
    assert found["bearer_token"] == "BBBB"
    assert found.secret_values(frozenset()) == ["AAAA", "BBBB"]
    assert json.loads(secrets_manager.get_secret_value(SecretId=NAME)["SecretString"]) == {"bearer_token": "AAAA"}


def test_saved_fields_are_stored_beside_the_others(secrets_manager: Any) -> None:
    found = secret(secrets_manager, {"bearer_token": "AAAA", "user_id": 17})
    found.save({"bearer_token": "BBBB"})
    stored = json.loads(secrets_manager.get_secret_value(SecretId=NAME)["SecretString"])
    assert stored == {"bearer_token": "BBBB", "user_id": 17}
    assert Secret(NAME, ())["bearer_token"] == "BBBB", "the cache has it too"


def test_second_writer_leaves_what_the_first_one_wrote(stub: Stubber) -> None:
    before, after = json.dumps({"token": "old"}), json.dumps({"token": "theirs"})
    stub.add_response("get_secret_value", {"SecretString": before}, {"SecretId": NAME})
    asked = {"SecretId": NAME, "SecretString": ANY, "ClientRequestToken": ANY}
    stub.add_client_error("put_secret_value", "ResourceExistsException", expected_params=asked)
    stub.add_response("get_secret_value", {"SecretString": after}, {"SecretId": NAME})
    ours = Secret(NAME, ())
    ours.save({"token": "ours"})
    stub.assert_no_pending_responses()
    assert Secret(NAME, ())["token"] == "theirs"


def test_writers_who_read_the_same_text_use_one_request_token(stub: Stubber) -> None:
    tokens = []
    for _ in range(2):
        stub.add_response("get_secret_value", {"SecretString": '{"token": "old"}'})
        stub.add_response("put_secret_value", {}, None)
        stub.add_response("get_secret_value", {"SecretString": '{"token": "new"}'})
        writer = secrets._provider().client
        writer.meta.events.register_first(
            "provide-client-params.secrets-manager.PutSecretValue",
            lambda params, **_: tokens.append(params["ClientRequestToken"]),
        )
        Secret(NAME, ()).save({"token": "new"})
        forget_secrets()
    assert len(set(tokens)) == 1
    assert 32 <= len(tokens[0]) <= 64


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDeniedException", StorageDeniedError), ("ThrottlingException", StorageUnavailableError)],
)
def test_secret_when_it_cannot_be_read_is_an_error_of_storage(stub: Stubber, code: str, kind: type[Exception]) -> None:
    stub.add_client_error("get_secret_value", code)
    with pytest.raises(kind, match="imagelake/x"):
        Secret(NAME, ())["token"]
