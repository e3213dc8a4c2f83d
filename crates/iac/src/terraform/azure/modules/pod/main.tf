# One region's Lifeboat node where it is a pod in the region's cluster: who it is, what it may do, and where its certificates are. The
# pod itself comes from lifeboat/REGION/node.yaml.

resource "azurerm_user_assigned_identity" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
}

# Its service account in the cluster is that identity, without a secret that could be lost.
resource "azurerm_federated_identity_credential" "this" {
  name                = "lifeboat"
  resource_group_name = var.resource_group
  parent_id           = azurerm_user_assigned_identity.this.id
  audience            = ["api://AzureADTokenExchange"]
  issuer              = var.issuer
  subject             = "system:serviceaccount:lifeboat:lifeboat"
}

module "vault" {
  source = "../vault"

  name                    = var.vault
  resource_group          = var.resource_group
  location                = var.location
  tenant_id               = var.tenant_id
  subnet_id               = var.subnet_id
  reader_id               = azurerm_user_assigned_identity.this.principal_id
  administrator           = var.administrator
  administrator_addresses = var.administrator_addresses
}

# Move this app's components, and nothing else.
resource "azurerm_role_assignment" "this" {
  for_each = var.scopes

  scope              = each.value
  role_definition_id = var.role_id
  principal_id       = azurerm_user_assigned_identity.this.principal_id
}
