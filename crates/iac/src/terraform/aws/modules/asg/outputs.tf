output "dns_name" {
  description = "The load balancer's name, for alias records."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "The load balancer's zone, for alias records."
  value       = aws_lb.this.zone_id
}

output "group" {
  description = "The Auto Scaling group."
  value       = aws_autoscaling_group.this.name
}
