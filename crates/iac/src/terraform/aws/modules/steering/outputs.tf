output "health_check_id" {
  description = "Healthy while a majority of the nodes wants the region served."
  value       = aws_route53_health_check.majority.id
}
