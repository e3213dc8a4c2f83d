output "id" {
  description = "The cluster."
  value       = azurerm_kubernetes_cluster.this.id
}

output "issuer" {
  description = "Who vouches for the cluster's service accounts."
  value       = azurerm_kubernetes_cluster.this.oidc_issuer_url
}

output "cluster" {
  description = "Name of the cluster."
  value       = azurerm_kubernetes_cluster.this.name
}
