# A key vault with the certificates of one region's Lifeboat node, and nothing else, so that whoever may read the vault may read just
# these. lifeboat/hand-out.sh puts them there; they are in no state file.

resource "azurerm_key_vault" "this" {
  name                       = var.name
  resource_group_name        = var.resource_group
  location                   = var.location
  tenant_id                  = var.tenant_id
  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 7

  network_acls {
    bypass                     = "None"
    default_action             = "Deny"
    ip_rules                   = var.administrator_addresses
    virtual_network_subnet_ids = [var.subnet_id]
  }
}

resource "azurerm_role_assignment" "certificates" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = var.reader_id
}

# Who puts them there.
resource "azurerm_role_assignment" "administrator" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = var.administrator.id
  principal_type       = "Group"
}
