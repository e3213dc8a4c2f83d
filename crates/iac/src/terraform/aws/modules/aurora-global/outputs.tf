output "arn" {
  description = "ARN of the cluster."
  value       = one(aws_rds_cluster.this[*].arn)
}

output "endpoint" {
  description = "The cluster's own endpoint. Applications use the global cluster's, which follows the writer."
  value       = one(aws_rds_cluster.this[*].endpoint)
}

# Of the cluster alone: what waits for instances would wait for those of a dark region that are to go, too.
output "ready" {
  description = "Known once the cluster is there."
  value       = one(aws_rds_cluster.this[*].arn)
}
