# One region's PostgreSQL flexible server: the first writer, or a replica of it.
#
# A promotion swaps the roles; a person does that, by the command that `lifeboat status` shows. How a server came about matters at creation only and is ignored
# afterwards, so that a plan never wants to undo a failover.

data "azurerm_client_config" "current" {}

resource "azurerm_postgresql_flexible_server" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group
  location                      = var.location
  create_mode                   = var.source_server_id == null ? "Default" : "Replica"
  source_server_id              = var.source_server_id
  version                       = var.engine_version
  sku_name                      = var.sku
  storage_mb                    = var.storage_gib * 1024
  auto_grow_enabled             = true
  backup_retention_days         = 14
  geo_redundant_backup_enabled  = var.geo_redundant_backup
  delegated_subnet_id           = var.subnet_id
  private_dns_zone_id           = var.private_dns_zone_id
  public_network_access_enabled = false

  authentication {
    active_directory_auth_enabled = true
    password_auth_enabled         = false
    tenant_id                     = data.azurerm_client_config.current.tenant_id
  }

  lifecycle {
    prevent_destroy = true

    ignore_changes = [
      create_mode,
      source_server_id,
      replication_role,
      version,
      storage_mb, # grows by itself, and never shrinks: the provider would make a new server
      storage_tier,
      zone, # swapped by every failover inside the region
      high_availability,
    ]
  }
}

# Against everybody but Terraform itself, which says in its plan what it would delete.
resource "azurerm_management_lock" "this" {
  name       = "lifeboat"
  scope      = azurerm_postgresql_flexible_server.this.id
  lock_level = "CanNotDelete"
  notes      = "A database of the app. Failing over needs no deletion."
}

# Who may let others in. It is set on the first writer only: a replica takes none of its own and has those of its writer.
resource "azurerm_postgresql_flexible_server_active_directory_administrator" "this" {
  count = var.administrator == null ? 0 : 1

  server_name         = azurerm_postgresql_flexible_server.this.name
  resource_group_name = var.resource_group
  tenant_id           = data.azurerm_client_config.current.tenant_id
  object_id           = var.administrator.id
  principal_name      = var.administrator.name
  principal_type      = "Group"
}

# Measured by a replica only, so that it need not be turned round after a failover.
resource "azurerm_monitor_metric_alert" "lag" {
  count = var.lag_alarm_seconds == null ? 0 : 1

  name                = "${var.name}-replication-lag"
  resource_group_name = var.resource_group
  scopes              = [azurerm_postgresql_flexible_server.this.id]
  description         = "A failover now could lose more than the objective allows."
  severity            = 2
  frequency           = "PT1M"
  window_size         = "PT5M"

  criteria {
    metric_namespace = "Microsoft.DBforPostgreSQL/flexibleServers"
    metric_name      = "physical_replication_delay_in_seconds"
    aggregation      = "Maximum"
    operator         = "GreaterThan"
    threshold        = var.lag_alarm_seconds
  }

  dynamic "action" {
    for_each = var.action_groups

    content {
      action_group_id = action.value
    }
  }
}
