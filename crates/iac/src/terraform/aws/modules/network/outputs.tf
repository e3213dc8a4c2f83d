output "vpc_id" {
  description = "The region's VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Address range of the region."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "One per zone, for load balancers."
  value       = [for subnet in aws_subnet.public : subnet.id]
}

output "private_subnet_ids" {
  description = "One per zone, for everything else."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "route_table_ids" {
  description = "Route tables of all subnets: nodes stand in a public one."
  value       = concat([for table in aws_route_table.private : table.id], [aws_route_table.public.id])
}

output "zones" {
  description = "Availability zones in use."
  value       = local.zones
}
