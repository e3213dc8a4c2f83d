output "id" {
  description = "The account."
  value       = azurerm_cosmosdb_account.this.id
}

output "name" {
  description = "Its name."
  value       = azurerm_cosmosdb_account.this.name
}

output "endpoint" {
  description = "The account's endpoint."
  value       = azurerm_cosmosdb_account.this.endpoint
}
