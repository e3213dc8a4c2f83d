# Stateless capacity on a scale set in one region, behind a load balancer.
#
# The sizes follow the region's role: `serving` comes from roles.auto.tfvars.json, which `lifeboat roles` writes. The number of
# instances belongs to autoscale and to Lifeboat, hence it is ignored here.

locals {
  minimum = var.serving ? var.full_size : var.standby_size
}

resource "azurerm_public_ip" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  domain_name_label   = var.name
  zones               = var.zones
}

resource "azurerm_lb" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  sku                 = "Standard"

  frontend_ip_configuration {
    name                 = "public"
    public_ip_address_id = azurerm_public_ip.this.id
  }
}

resource "azurerm_lb_backend_address_pool" "this" {
  name            = "main"
  loadbalancer_id = azurerm_lb.this.id
}

resource "azurerm_lb_probe" "this" {
  name                = "main"
  loadbalancer_id     = azurerm_lb.this.id
  protocol            = "Http"
  port                = var.port
  request_path        = var.check_path
  interval_in_seconds = 5
  probe_threshold     = 2
}

resource "azurerm_lb_rule" "this" {
  name                           = "main"
  loadbalancer_id                = azurerm_lb.this.id
  frontend_ip_configuration_name = "public"
  protocol                       = "Tcp"
  frontend_port                  = 443
  backend_port                   = var.port
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.this.id]
  probe_id                       = azurerm_lb_probe.this.id
}

# The steering endpoint is reached at the same address, so that whoever probes it probes the way that clients take.
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
  name                           = "lifeboat"
  loadbalancer_id                = azurerm_lb.this.id
  frontend_ip_configuration_name = "public"
  protocol                       = "Tcp"
  frontend_port                  = var.node_port
  backend_port                   = var.node_port
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.node.id]
  probe_id                       = azurerm_lb_probe.node.id
}

resource "azurerm_linux_virtual_machine_scale_set" "this" {
  name                            = var.name
  resource_group_name             = var.resource_group
  location                        = var.location
  sku                             = var.instance_type
  instances                       = local.minimum
  zones                           = var.zones
  zone_balance                    = length(var.zones) > 1
  source_image_id                 = var.image
  admin_username                  = "lifeboat"
  upgrade_mode                    = "Rolling"
  health_probe_id                 = azurerm_lb_probe.this.id
  disable_password_authentication = true
  encryption_at_host_enabled      = true
  single_placement_group          = false
  extension_operations_enabled    = false

  admin_ssh_key {
    username   = "lifeboat"
    public_key = var.ssh_public_key
  }

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Premium_LRS"
  }

  network_interface {
    name    = "main"
    primary = true

    ip_configuration {
      name                                   = "main"
      primary                                = true
      subnet_id                              = var.subnet_id
      load_balancer_backend_address_pool_ids = [azurerm_lb_backend_address_pool.this.id]
    }
  }

  rolling_upgrade_policy {
    max_batch_instance_percent              = 20
    max_unhealthy_instance_percent          = 20
    max_unhealthy_upgraded_instance_percent = 20
    pause_time_between_batches              = "PT10S"
  }

  automatic_instance_repair {
    enabled = true
  }

  lifecycle {
    ignore_changes = [instances]
  }

  depends_on = [azurerm_lb_rule.this]
}

# Autoscale puts back a number of instances outside its limits, so the limits have to follow the role.
resource "azurerm_monitor_autoscale_setting" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  target_resource_id  = azurerm_linux_virtual_machine_scale_set.this.id

  profile {
    name = "role"

    capacity {
      minimum = local.minimum
      default = local.minimum
      maximum = var.max_size
    }

    dynamic "rule" {
      for_each = {
        Increase = { operator = "GreaterThan", threshold = 60, by = 2 }
        Decrease = { operator = "LessThan", threshold = 25, by = 1 }
      }

      content {
        metric_trigger {
          metric_name        = "Percentage CPU"
          metric_resource_id = azurerm_linux_virtual_machine_scale_set.this.id
          time_grain         = "PT1M"
          time_window        = "PT5M"
          time_aggregation   = "Average"
          statistic          = "Average"
          operator           = rule.value.operator
          threshold          = rule.value.threshold
        }

        scale_action {
          direction = rule.key
          type      = "ChangeCount"
          value     = rule.value.by
          cooldown  = "PT5M"
        }
      }
    }
  }
}
