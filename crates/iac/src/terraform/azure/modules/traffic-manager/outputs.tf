output "fqdn" {
  description = "The profile's name, to which the route's record leads."
  value       = azurerm_traffic_manager_profile.this.fqdn
}
