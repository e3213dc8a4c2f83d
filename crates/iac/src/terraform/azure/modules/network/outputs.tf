output "id" {
  description = "The region's virtual network."
  value       = azurerm_virtual_network.this.id
}

output "name" {
  description = "Its name."
  value       = azurerm_virtual_network.this.name
}

output "compute_subnet_id" {
  description = "Subnet of machines and pods."
  value       = azurerm_subnet.compute.id
}

output "database_subnet_id" {
  description = "Subnet of PostgreSQL servers."
  value       = azurerm_subnet.databases.id
}
