# A Cosmos DB account over all its regions.
#
# The order of the regions, the writer first, comes from roles.auto.tfvars.json, which `lifeboat roles` writes. Service-managed
# failover is off: it may take an hour or be declined, and while it is on nobody else can move the writer.

resource "azurerm_cosmosdb_account" "this" {
  name                              = var.name
  resource_group_name               = var.resource_group
  location                          = var.location
  offer_type                        = "Standard"
  kind                              = "GlobalDocumentDB"
  multiple_write_locations_enabled  = var.multiple_writers
  automatic_failover_enabled        = false
  local_authentication_disabled     = true
  is_virtual_network_filter_enabled = true
  minimal_tls_version               = "Tls12"

  consistency_policy {
    consistency_level       = var.consistency
    max_interval_in_seconds = var.consistency == "BoundedStaleness" ? 300 : null
    max_staleness_prefix    = var.consistency == "BoundedStaleness" ? 100000 : null
  }

  dynamic "geo_location" {
    for_each = var.locations

    content {
      location          = geo_location.value.location
      zone_redundant    = geo_location.value.zone_redundant
      failover_priority = index(concat([var.writer], [for region in var.order : region if region != var.writer]), geo_location.key)
    }
  }

  # Only from the networks of the app's regions.
  dynamic "virtual_network_rule" {
    for_each = var.subnet_ids

    content {
      id = virtual_network_rule.value
    }
  }

  # No vault: these restore any moment of 30 days, in every region of the account, also when the account is gone.
  backup {
    type = "Continuous"
    tier = "Continuous30Days"
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Against everybody but Terraform itself, which says in its plan what it would delete.
resource "azurerm_management_lock" "this" {
  name       = "lifeboat"
  scope      = azurerm_cosmosdb_account.this.id
  lock_level = "CanNotDelete"
  notes      = "A database of the app. Failing over needs no deletion."
}

resource "azurerm_cosmosdb_sql_database" "this" {
  name                = var.database
  resource_group_name = var.resource_group
  account_name        = azurerm_cosmosdb_account.this.name

  autoscale_settings {
    max_throughput = var.max_throughput
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_cosmosdb_sql_container" "items" {
  name                  = "items"
  resource_group_name   = var.resource_group
  account_name          = azurerm_cosmosdb_account.this.name
  database_name         = azurerm_cosmosdb_sql_database.this.name
  partition_key_paths   = ["/pk"]
  partition_key_version = 2

  dynamic "conflict_resolution_policy" {
    for_each = var.multiple_writers ? [1] : []

    content {
      mode                     = "LastWriterWins"
      conflict_resolution_path = "/_ts"
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_monitor_metric_alert" "lag" {
  count = var.lag_alarm_milliseconds == null ? 0 : 1

  name                = "${var.name}-replication-lag"
  resource_group_name = var.resource_group
  scopes              = [azurerm_cosmosdb_account.this.id]
  description         = "A failover now could lose more than the objective allows."
  severity            = 2
  frequency           = "PT1M"
  window_size         = "PT5M"

  criteria {
    metric_namespace = "Microsoft.DocumentDB/databaseAccounts"
    metric_name      = "ReplicationLatency"
    aggregation      = "Maximum"
    operator         = "GreaterThan"
    threshold        = var.lag_alarm_milliseconds
  }

  dynamic "action" {
    for_each = var.action_groups

    content {
      action_group_id = action.value
    }
  }
}
