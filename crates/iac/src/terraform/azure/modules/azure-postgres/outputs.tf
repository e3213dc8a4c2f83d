output "id" {
  description = "The server."
  value       = azurerm_postgresql_flexible_server.this.id
}

output "fqdn" {
  description = "Name of the server. Applications use the virtual endpoint's, which follows the writer."
  value       = azurerm_postgresql_flexible_server.this.fqdn
}
