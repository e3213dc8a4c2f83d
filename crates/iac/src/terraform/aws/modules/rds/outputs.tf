output "arn" {
  description = "ARN of the instance."
  value       = one(aws_db_instance.this[*].arn)
}

output "endpoint" {
  description = "Address of the instance."
  value       = one(aws_db_instance.this[*].address)
}
