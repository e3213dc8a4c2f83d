output "arn" {
  description = "ARN of the cluster."
  value       = one(aws_rds_cluster.this[*].arn)
}

output "endpoint" {
  description = "The cluster's own endpoint. Applications use the global cluster's, which follows the writer."
  value       = one(aws_rds_cluster.this[*].endpoint)
}

output "ready" {
  description = "Known once the cluster and its instances are there."
  value       = concat(aws_rds_cluster.this[*].arn, aws_rds_cluster_instance.this[*].arn)
}
