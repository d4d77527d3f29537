# Two feeds every morning at six, with warnings and failures by email.
variable "template_url" {
  description = "The URL that `make package BUCKET=...` prints"
  type        = string
}

provider "aws" {
  region = "eu-central-1"
}

module "imagelake" {
  source = "../.."

  name         = "imagelake"
  template_url = var.template_url

  feeds               = jsonencode(["bluesky:bsky.app", "mastodon:mastodon.social#cats"])
  schedule_expression = "cron(0 6 * * ? *)"
  schedule_time_zone  = "Europe/Berlin"
  notification_email  = "me@example.org"
}

output "dataset_uri" {
  value = module.imagelake.dataset_uri
}

output "state_machine_arn" {
  value = module.imagelake.state_machine_arn
}
