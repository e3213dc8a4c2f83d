output "id" {
  description = "The account."
  value       = azurerm_cosmosdb_account.this.id
}

output "endpoint" {
  description = "The account's endpoint."
  value       = azurerm_cosmosdb_account.this.endpoint
}
