output "id" {
  description = "The server."
  value       = azurerm_mssql_server.this.id
}

output "name" {
  description = "Name of the server."
  value       = azurerm_mssql_server.this.name
}
