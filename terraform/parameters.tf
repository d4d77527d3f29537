# Made from template.yaml by `make docs`.

locals {
  parameters = {
    Feeds                      = var.feeds
    PostsPerFeed               = var.posts_per_feed
    BudgetUsdPerDay            = var.budget_usd_per_day
    BudgetUsdPerMonth          = var.budget_usd_per_month
    Contact                    = var.contact
    ScheduleExpression         = var.schedule_expression
    FrequentScheduleExpression = var.frequent_schedule_expression
    ScheduleTimeZone           = var.schedule_time_zone
    ScheduleState              = var.schedule_state
    NoGoodRunHours             = var.no_good_run_hours
    NotificationEmail          = var.notification_email
    BatchSize                  = var.batch_size
    FailureTolerancePercent    = var.failure_tolerance_percent
    RunFailureTolerancePercent = var.run_failure_tolerance_percent
    LogRetentionDays           = var.log_retention_days
    RawImageDays               = var.raw_image_days
    PointInTimeRecoveryDays    = var.point_in_time_recovery_days
    QueryScanLimitBytes        = var.query_scan_limit_bytes
    TrustedOrigins             = join(",", var.trusted_origins)
    GradualDeploymentMinutes   = var.gradual_deployment_minutes
    PandasLayer                = var.pandas_layer
    StreamIngest               = var.stream_ingest
    AlertWebhookSecret         = var.alert_webhook_secret
    RunbookUrl                 = var.runbook_url
  }
}
