# Where clients, and whoever probes for them, reach a region: an address for each component to which a route leads.
#
# All on one load balancer: a machine can be behind one public load balancer only, and the region's Lifeboat node answers at every
# one of these addresses whether the region is to be served. Packets to the node arrive with the address (floating IP), because
# the same port of the same machine cannot be behind several addresses otherwise; the machine has the addresses too.

resource "azurerm_public_ip" "this" {
  for_each = var.labels

  name                = "${var.name}-${each.key}"
  resource_group_name = var.resource_group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  domain_name_label   = each.value
  zones               = var.zones
}

resource "azurerm_lb" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  sku                 = "Standard"

  dynamic "frontend_ip_configuration" {
    for_each = azurerm_public_ip.this

    content {
      name                 = frontend_ip_configuration.key
      public_ip_address_id = frontend_ip_configuration.value.id
    }
  }
}

resource "azurerm_lb_backend_address_pool" "node" {
  name            = "lifeboat"
  loadbalancer_id = azurerm_lb.this.id
}

resource "azurerm_lb_probe" "node" {
  name                = "lifeboat"
  loadbalancer_id     = azurerm_lb.this.id
  protocol            = "Tcp"
  port                = var.node_port
  interval_in_seconds = 5
  probe_threshold     = 2
}

resource "azurerm_lb_rule" "node" {
  for_each = var.labels

  name                           = "lifeboat-${each.key}"
  loadbalancer_id                = azurerm_lb.this.id
  frontend_ip_configuration_name = each.key
  protocol                       = "Tcp"
  frontend_port                  = var.node_port
  backend_port                   = var.node_port
  floating_ip_enabled            = true
  disable_outbound_snat          = true
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.node.id]
  probe_id                       = azurerm_lb_probe.node.id
}
