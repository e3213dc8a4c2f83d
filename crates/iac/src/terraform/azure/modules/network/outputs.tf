output "id" {
  description = "The region's virtual network."
  value       = azurerm_virtual_network.this.id
}

output "name" {
  description = "Its name."
  value       = azurerm_virtual_network.this.name
}

output "compute_subnet_id" {
  description = "Subnet of machines."
  value       = azurerm_subnet.compute.id

  # A machine that boots before there is a way out finds none.
  depends_on = [
    azurerm_subnet_nat_gateway_association.compute,
    azurerm_subnet_network_security_group_association.this,
  ]
}

output "cluster_subnet_id" {
  description = "Subnet of clusters; null where there is none."
  value       = one(azurerm_subnet.clusters[*].id)

  depends_on = [
    azurerm_subnet_nat_gateway_association.clusters,
    azurerm_subnet_network_security_group_association.this,
  ]
}

output "database_subnet_id" {
  description = "Subnet of PostgreSQL servers."
  value       = azurerm_subnet.databases.id
}
