# A storage account that Azure copies to its own paired region, whatever standby the app's file names. Its resource group lies outside
# the regions of the app: a failover of the account asks that group, when the region may be down.
#
# Versions, the change feed, and replication across tenants are what a vaulted backup takes: it is a replication of the containers into
# Azure Backup's own tenant.

resource "azurerm_storage_account" "this" {
  name                             = var.name
  resource_group_name              = var.resource_group
  location                         = var.location
  account_tier                     = "Standard"
  account_replication_type         = var.replication
  min_tls_version                  = "TLS1_2"
  https_traffic_only_enabled       = true
  shared_access_key_enabled        = false
  default_to_oauth_authentication  = true
  allow_nested_items_to_be_public  = false
  cross_tenant_replication_enabled = true

  network_rules {
    default_action             = "Deny"
    bypass                     = ["AzureServices"]
    virtual_network_subnet_ids = values(var.subnet_ids)
  }

  blob_properties {
    versioning_enabled  = true
    change_feed_enabled = true

    delete_retention_policy {
      days = 30
    }

    container_delete_retention_policy {
      days = 30
    }
  }

  # A failover of the account leaves it without geo-redundancy until a person turns that on again: the README has the command.
  lifecycle {
    prevent_destroy = true
    ignore_changes  = [account_replication_type]
  }
}

resource "azurerm_storage_container" "this" {
  for_each = toset(var.containers)

  name               = each.key
  storage_account_id = azurerm_storage_account.this.id

  lifecycle {
    prevent_destroy = true
  }
}

# Against everybody but Terraform itself, which says in its plan what it would delete.
resource "azurerm_management_lock" "this" {
  name       = "lifeboat"
  scope      = azurerm_storage_account.this.id
  lock_level = "CanNotDelete"
  notes      = "A database of the app. Failing over needs no deletion."
}
