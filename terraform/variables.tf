# Made from template.yaml by `make docs`.

variable "feeds" {
  description = "Feeds that a scheduled run reads: a JSON list, or {\"daily\": [...], \"frequent\": [...]} with a list for each schedule. You can edit them later in the SSM parameter that the stack creates"
  type        = string
  default     = "[\"bluesky:bsky.app\"]"
  nullable    = false
}

variable "posts_per_feed" {
  description = "A run stops reading a feed after this many posts; the page in progress is finished"
  type        = number
  default     = 1000
  nullable    = false
}

variable "budget_usd_per_day" {
  description = "The most USD that networks may bill for all feeds in one day (UTC); a feed stops before the page that could pass it. 0 means no budget"
  type        = number
  default     = 0
  nullable    = false
}

variable "budget_usd_per_month" {
  description = "The same for one month (UTC). 0 means no budget"
  type        = number
  default     = 0
  nullable    = false
}

variable "contact" {
  description = "Email or URL in the User-Agent of every request, so that the networks can reach you"
  type        = string
  default     = ""
  nullable    = false
}

variable "schedule_expression" {
  description = "Schedule of the daily run"
  type        = string
  default     = "cron(30 5 * * ? *)"
  nullable    = false
}

variable "frequent_schedule_expression" {
  description = "Schedule of the feeds under \"frequent\", e.g. rate(6 hours) for hashtags that list one day only. Empty means never"
  type        = string
  default     = ""
  nullable    = false
}

variable "schedule_time_zone" {
  description = "Time zone of the schedules and of the day of a run"
  type        = string
  default     = "UTC"
  nullable    = false
}

variable "schedule_state" {
  description = "DISABLED pauses every schedule"
  type        = string
  default     = "ENABLED"
  nullable    = false
}

variable "no_good_run_hours" {
  description = "An alarm is raised after this many hours without a good run: the longest pause between two scheduled runs, and 2 hours more. 0 means no such alarm, for pauses of about a week or more. A paused schedule has none either"
  type        = number
  default     = 26
  nullable    = false
}

variable "notification_email" {
  description = "Receives warnings and failures, after you confirm the subscription email. Empty means no email"
  type        = string
  default     = ""
  nullable    = false
}

variable "batch_size" {
  description = "Images in one batch, which is one Parquet file"
  type        = number
  default     = 500
  nullable    = false
}

variable "failure_tolerance_percent" {
  description = "A feed fails if a larger share of its items fails"
  type        = number
  default     = 20
  nullable    = false
}

variable "run_failure_tolerance_percent" {
  description = "A run fails if a larger share of its feeds fails. The others are in the dataset all the same"
  type        = number
  default     = 50
  nullable    = false
}

variable "log_retention_days" {
  description = "Logs are deleted after this many days"
  type        = number
  default     = 30
  nullable    = false
}

variable "raw_image_days" {
  description = "Raw images move to Glacier Instant Retrieval after this many days; 0 means never. They are never deleted. A move costs 20 USD per million images, and makes each rebuild of them cost 17 USD more"
  type        = number
  default     = 0
  nullable    = false
}

variable "point_in_time_recovery_days" {
  description = "The tables can be restored to any second of so many days"
  type        = number
  default     = 35
  nullable    = false
}

variable "query_scan_limit_bytes" {
  description = "Athena stops a query of the stack's work group that scans more bytes. 100 GB cost 0.50 USD in most regions"
  type        = number
  default     = 100000000000
  nullable    = false
}

variable "trusted_origins" {
  description = "Origins such as https://mirror.example:8443 whose hosts, ports and IP addresses are not checked"
  type        = list(string)
  default     = []
  nullable    = false
}

variable "gradual_deployment_minutes" {
  description = "For this long, half of the scheduled runs use the new version of the state machine, and an alarm rolls it back. The deployment takes as long. 0 deploys at once"
  type        = number
  default     = 0
  nullable    = false
}

variable "pandas_layer" {
  description = "Public SSM parameter with the ARN of AWS's managed layer of pandas and awswrangler"
  type        = string
  default     = "/aws/service/aws-sdk-pandas/3.16.1/py3.13/x86_64/layer-arn"
  nullable    = false
}

variable "stream_ingest" {
  description = "ENABLED creates a Kinesis stream of one shard, billed by the hour; runs read the posts that producers put on it"
  type        = string
  default     = "DISABLED"
  nullable    = false
}

variable "alert_webhook_secret" {
  description = "Name of the Secrets Manager secret with the webhook that receives alerts, of Discord, Slack or others. Empty means none"
  type        = string
  default     = ""
  nullable    = false
}

variable "runbook_url" {
  description = "URL of docs/runbook.md in your copy of the repository, for the links in notifications. Empty names the file"
  type        = string
  default     = ""
  nullable    = false
}
