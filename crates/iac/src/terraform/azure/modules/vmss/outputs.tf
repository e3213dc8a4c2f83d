output "id" {
  description = "The scale set that Lifeboat scales."
  value       = azurerm_linux_virtual_machine_scale_set.this.id
}

output "fqdn" {
  description = "Name of the load balancer, for Traffic Manager."
  value       = azurerm_public_ip.this.fqdn
}

output "node_pool_id" {
  description = "Backend pool that the region's Lifeboat node joins."
  value       = azurerm_lb_backend_address_pool.node.id
}
