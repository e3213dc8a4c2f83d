output "id" {
  description = "The cluster."
  value       = azurerm_kubernetes_cluster.this.id
}

output "cluster" {
  description = "Name of the cluster."
  value       = azurerm_kubernetes_cluster.this.name
}
