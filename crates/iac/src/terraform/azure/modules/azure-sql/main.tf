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

  lifecycle {
    prevent_destroy = true
  }
}

# Against everybody but Terraform itself, which says in its plan what it would delete.
resource "azurerm_management_lock" "this" {
  name       = "lifeboat"
  scope      = azurerm_mssql_server.this.id
  lock_level = "CanNotDelete"
  notes      = "A database of the app. Failing over needs no deletion."
}

# Reached by a private address in its own region, and over the peerings from the others.
resource "azurerm_private_endpoint" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  subnet_id           = var.subnet_id

  private_service_connection {
    name                           = var.name
    private_connection_resource_id = azurerm_mssql_server.this.id
    subresource_names              = ["sqlServer"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [var.private_dns_zone_id]
  }
}
