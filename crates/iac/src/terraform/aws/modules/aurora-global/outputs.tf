output "arn" {
  description = "ARN of the cluster."
  value       = one(aws_rds_cluster.this[*].arn)
}

output "endpoint" {
  description = "The cluster's own endpoint. Applications use the global cluster's, which follows the writer."
  value       = one(aws_rds_cluster.this[*].endpoint)
}
