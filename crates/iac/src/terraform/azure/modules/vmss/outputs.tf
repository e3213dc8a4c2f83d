output "id" {
  description = "The scale set."
  value       = azurerm_linux_virtual_machine_scale_set.this.id
}

output "address" {
  description = "Address inside the networks; null where a route leads to the component."
  value       = one(azurerm_lb.private[*].private_ip_address)
}
