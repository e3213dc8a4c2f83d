# One region's logical server. The database itself and the failover group belong to all regions, see the root module.

data "azurerm_client_config" "current" {}

resource "azurerm_mssql_server" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group
  location                      = var.location
  version                       = "12.0"
  minimum_tls_version           = "1.2"
  public_network_access_enabled = false

  azuread_administrator {
    login_username              = var.administrator.name
    object_id                   = var.administrator.id
    tenant_id                   = data.azurerm_client_config.current.tenant_id
    azuread_authentication_only = true
  }
}
