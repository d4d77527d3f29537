# The stack as one resource. Its template is the one that `sam deploy` uses, so both ways create the same stack.
resource "aws_cloudformation_stack" "this" {
  name         = var.name
  template_url = var.template_url
  parameters   = local.parameters
  tags         = var.tags

  # The template creates roles, and the transform of SAM expands it.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
}

variable "name" {
  description = "Name of the stack"
  type        = string
  default     = "imagelake"
  nullable    = false
}

variable "template_url" {
  description = "HTTPS URL of the packaged template in S3; `make package BUCKET=...` prints it"
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of the stack and of its resources"
  type        = map(string)
  default     = {}
  nullable    = false
}
