# A region's backup vault, and what of the app is backed up into it. Replication carries a mistake to every region within a
# second; only a backup does not.
#
# The vault lies where the data is, for Azure Backup takes no other. Azure copies it to the region's pair, from which backups are
# restored while the region is dark; its resource group is that of what is global, which has to answer then.

resource "azurerm_data_protection_backup_vault" "this" {
  name                         = var.name
  resource_group_name          = var.resource_group
  location                     = var.location
  datastore_type               = "VaultStore"
  redundancy                   = var.redundancy
  cross_region_restore_enabled = var.redundancy == "GeoRedundant" ? true : null
  immutability                 = var.immutability
  soft_delete                  = "On"
  retention_duration_in_days   = var.soft_delete_days

  identity {
    type = "SystemAssigned"
  }
}

# Weekly, for Azure Backup offers nothing else for PostgreSQL. The servers' own backups, with which a restore loses less, go on all the
# time; these here outlive the servers, and lie where nobody who can delete a server can delete them.
resource "azurerm_data_protection_backup_policy_postgresql_flexible_server" "weekly" {
  count = length(var.servers) > 0 ? 1 : 0

  name                            = "postgresql-weekly"
  vault_id                        = azurerm_data_protection_backup_vault.this.id
  backup_repeating_time_intervals = [var.weekly]

  default_retention_rule {
    life_cycle {
      data_store_type = "VaultStore"
      duration        = "P${var.keep_days}D"
    }
  }
}

resource "azurerm_data_protection_backup_policy_blob_storage" "daily" {
  count = length(var.accounts) > 0 ? 1 : 0

  name                             = "blobs-daily"
  vault_id                         = azurerm_data_protection_backup_vault.this.id
  backup_repeating_time_intervals  = [var.daily]
  vault_default_retention_duration = "P${var.keep_days}D"
}

# What the vault may do: find the servers, have them write a backup, read the accounts.
resource "azurerm_role_assignment" "group" {
  count = length(var.servers) > 0 ? 1 : 0

  scope                = var.server_group_id
  role_definition_name = "Reader"
  principal_id         = azurerm_data_protection_backup_vault.this.identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "servers" {
  for_each = var.servers

  scope                = each.value
  role_definition_name = "PostgreSQL Flexible Server Long Term Retention Backup Role"
  principal_id         = azurerm_data_protection_backup_vault.this.identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "accounts" {
  for_each = var.accounts

  scope                = each.value.id
  role_definition_name = "Storage Account Backup Contributor"
  principal_id         = azurerm_data_protection_backup_vault.this.identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_data_protection_backup_instance_postgresql_flexible_server" "this" {
  for_each = var.servers

  name             = each.key
  location         = var.location
  vault_id         = azurerm_data_protection_backup_vault.this.id
  server_id        = each.value
  backup_policy_id = azurerm_data_protection_backup_policy_postgresql_flexible_server.weekly[0].id

  depends_on = [azurerm_role_assignment.group, azurerm_role_assignment.servers]
}

resource "azurerm_data_protection_backup_instance_blob_storage" "this" {
  for_each = var.accounts

  name                            = each.key
  location                        = var.location
  vault_id                        = azurerm_data_protection_backup_vault.this.id
  storage_account_id              = each.value.id
  storage_account_container_names = each.value.containers
  backup_policy_id                = azurerm_data_protection_backup_policy_blob_storage.daily[0].id

  depends_on = [azurerm_role_assignment.accounts]
}

# A backup that has failed for weeks is noticed here, and not when it is needed. The vault raises an alert for every job that
# failed; this tells somebody.
resource "azurerm_monitor_alert_processing_rule_action_group" "failed" {
  count = length(var.action_groups) > 0 ? 1 : 0

  name                 = var.name
  resource_group_name  = var.resource_group
  description          = "A backup failed, or a restore."
  scopes               = [azurerm_data_protection_backup_vault.this.id]
  add_action_group_ids = var.action_groups
}
