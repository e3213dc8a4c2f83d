# One region's Kubernetes cluster. What runs in it comes from the GitOps repository, see kubernetes/.
#
# The number of nodes for applications follows the region's role: `serving` comes from roles.auto.tfvars.json, which
# `lifeboat roles` writes. System nodes run everywhere: a stopped pool holds no capacity, and starting it may fail when it counts.

resource "azurerm_kubernetes_cluster" "this" {
  name                              = var.name
  resource_group_name               = var.resource_group
  location                          = var.location
  dns_prefix                        = var.name
  kubernetes_version                = var.kubernetes_version
  sku_tier                          = "Standard"
  private_cluster_enabled           = true
  local_account_disabled            = true
  role_based_access_control_enabled = true
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  azure_policy_enabled              = true

  default_node_pool {
    name                         = "system"
    vm_size                      = var.instance_type
    vnet_subnet_id               = var.subnet_id
    zones                        = var.zones
    auto_scaling_enabled         = true
    min_count                    = 2
    max_count                    = 3
    max_pods                     = 110
    only_critical_addons_enabled = true
    host_encryption_enabled      = true
    temporary_name_for_rotation  = "systemnew"

    upgrade_settings {
      max_surge = "33%"
    }
  }

  identity {
    type = "SystemAssigned"
  }

  # Brings the Lifeboat node's certificates from its vault to its pod, and renewed ones within the hour.
  dynamic "key_vault_secrets_provider" {
    for_each = var.secret_store ? [1] : []

    content {
      secret_rotation_enabled  = true
      secret_rotation_interval = "1h"
    }
  }

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled = true
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_policy      = "cilium"
    network_data_plane  = "cilium"
    outbound_type       = "userAssignedNATGateway"
  }

  lifecycle {
    ignore_changes = [default_node_pool[0].node_count]
  }
}

resource "azurerm_kubernetes_cluster_node_pool" "apps" {
  name                    = "apps"
  kubernetes_cluster_id   = azurerm_kubernetes_cluster.this.id
  mode                    = "User"
  vm_size                 = var.instance_type
  vnet_subnet_id          = var.subnet_id
  zones                   = var.zones
  auto_scaling_enabled    = true
  min_count               = var.serving ? var.full_size : var.standby_size
  max_count               = var.max_size
  max_pods                = 110
  host_encryption_enabled = true

  upgrade_settings {
    max_surge = "33%"
  }

  lifecycle {
    ignore_changes = [node_count]
  }
}

# Private addresses of services come from these subnets, the node's own from that of the machines; the cluster may change nothing
# but that.
resource "azurerm_role_assignment" "subnet" {
  for_each = { clusters = var.subnet_id, machines = var.machine_subnet_id }

  scope                = each.value
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_kubernetes_cluster.this.identity[0].principal_id
}

# The cluster asks Entra who comes and Azure what they may: without this nobody gets in, its owner included.
resource "azurerm_role_assignment" "administrators" {
  for_each = toset(var.administrator_ids)

  scope                = azurerm_kubernetes_cluster.this.id
  role_definition_name = "Azure Kubernetes Service RBAC Cluster Admin"
  principal_id         = each.value
}
