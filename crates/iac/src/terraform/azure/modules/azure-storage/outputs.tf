output "id" {
  description = "The account."
  value       = azurerm_storage_account.this.id
}
