# Made from template.yaml by `make docs`.

output "state_machine_arn" {
  description = "To start a run by hand, run aws stepfunctions start-execution --state-machine-arn with this ARN"
  value       = aws_cloudformation_stack.this.outputs.StateMachineArn
}

output "erasure_state_machine_arn" {
  description = "To erase data on request, run aws stepfunctions start-execution with this ARN; see docs/erasure.md"
  value       = aws_cloudformation_stack.this.outputs.ErasureStateMachineArn
}

output "rebuild_arn" {
  description = "State machine that makes rows again from raw images; docs/rebuild.md explains it"
  value       = aws_cloudformation_stack.this.outputs.RebuildArn
}

output "console_url" {
  description = "Runs and their graphs in the console"
  value       = aws_cloudformation_stack.this.outputs.ConsoleUrl
}

output "bucket_name" {
  description = "Bucket of the lake"
  value       = aws_cloudformation_stack.this.outputs.BucketName
}

output "dataset_uri" {
  description = "URI of the dataset, for pandas and Hugging Face datasets"
  value       = aws_cloudformation_stack.this.outputs.DatasetUri
}

output "glue_database_name" {
  description = "Database of Athena's table images"
  value       = aws_cloudformation_stack.this.outputs.GlueDatabaseName
}

output "athena_work_group_name" {
  description = "Work group of Athena with the saved queries"
  value       = aws_cloudformation_stack.this.outputs.AthenaWorkGroupName
}

output "image_keys_table_name" {
  description = "Media index, which maps raw images to rows"
  value       = aws_cloudformation_stack.this.outputs.ImageKeysTableName
}

output "image_hashes_table_name" {
  description = "Log of the perceptual hashes"
  value       = aws_cloudformation_stack.this.outputs.ImageHashesTableName
}

output "suppression_table_name" {
  description = "Keyed hashes of what must not come back"
  value       = aws_cloudformation_stack.this.outputs.SuppressionTableName
}

output "suppression_key_arn" {
  description = "Secret with the key of those hashes"
  value       = aws_cloudformation_stack.this.outputs.SuppressionKeyArn
}

output "bookmarks_table_name" {
  description = "Bookmark and lease of each feed"
  value       = aws_cloudformation_stack.this.outputs.BookmarksTableName
}

output "dashboard_url" {
  description = "Dashboard of runs, images, errors, feeds and cost"
  value       = aws_cloudformation_stack.this.outputs.DashboardUrl
}

output "live_alias_arn" {
  description = "Alias that the schedules start"
  value       = lookup(aws_cloudformation_stack.this.outputs, "LiveAliasArn", null)
}

output "feeds_parameter_name" {
  description = "Edit this SSM parameter to change the feeds without deploying"
  value       = aws_cloudformation_stack.this.outputs.FeedsParameterName
}

output "topic_arn" {
  description = "Topic of warnings and failures"
  value       = aws_cloudformation_stack.this.outputs.TopicArn
}

output "event_bus_name" {
  description = "Bus of the events of runs; docs/events.md describes them"
  value       = aws_cloudformation_stack.this.outputs.EventBusName
}

output "stream_name" {
  description = "Stream for posts of producers"
  value       = lookup(aws_cloudformation_stack.this.outputs, "StreamName", null)
}
