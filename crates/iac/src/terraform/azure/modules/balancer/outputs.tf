output "id" {
  description = "The load balancer."
  value       = azurerm_lb.this.id
}

output "addresses" {
  description = "Public addresses, by component."
  value       = { for component, address in azurerm_public_ip.this : component => address.ip_address }
}

output "names" {
  description = "The addresses' names, for Traffic Manager, by component."
  value       = { for component, address in azurerm_public_ip.this : component => address.fqdn }
}

output "node_pool_id" {
  description = "Backend pool that the region's Lifeboat node joins."
  value       = azurerm_lb_backend_address_pool.node.id

  # Who joins a pool before the pool has its rules is not reached by them.
  depends_on = [azurerm_lb_rule.node]
}
