output "id" {
  description = "The account."
  value       = azurerm_storage_account.this.id
}

output "containers" {
  description = "Containers that are backed up, for a vault takes them by name."
  value       = [for container in azurerm_storage_container.this : container.name]
}
