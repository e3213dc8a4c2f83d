# Stateless capacity on a scale set in one region, behind a load balancer.
#
# The sizes follow the region's role: `serving` comes from roles.auto.tfvars.json, which `lifeboat roles` writes. The number of
# instances belongs to autoscale and to whoever scales in a hurry, hence it is ignored here.

locals {
  minimum  = var.serving ? var.full_size : var.standby_size
  balancer = var.balancer == null ? { id = azurerm_lb.private[0].id, frontend = "private" } : var.balancer
}

# A component to which no route leads is reached from inside the networks only, at an address of its own.
resource "azurerm_lb" "private" {
  count = var.balancer == null ? 1 : 0

  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  sku                 = "Standard"

  frontend_ip_configuration {
    name                          = "private"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Dynamic"
    zones                         = var.zones
  }
}

resource "azurerm_lb_backend_address_pool" "this" {
  name            = var.component
  loadbalancer_id = local.balancer.id
}

resource "azurerm_lb_probe" "this" {
  name                = var.component
  loadbalancer_id     = local.balancer.id
  protocol            = var.check_protocol
  port                = var.port
  request_path        = var.check_path
  interval_in_seconds = 5
  probe_threshold     = 2
}

# The load balancer passes bytes on: whoever speaks TLS to clients is the application.
resource "azurerm_lb_rule" "this" {
  name                           = var.component
  loadbalancer_id                = local.balancer.id
  frontend_ip_configuration_name = local.balancer.frontend
  protocol                       = "Tcp"
  frontend_port                  = var.client_port
  backend_port                   = var.port
  disable_outbound_snat          = var.balancer != null
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.this.id]
  probe_id                       = azurerm_lb_probe.this.id
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

  custom_data = base64encode("#cloud-config\n${yamlencode({
    write_files = [{
      path    = "/etc/default/${var.component}"
      content = join("", [for name, value in var.environment : "${name}=${value}\n" if value != null])
    }]
  })}")

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

  # Under which the application logs in to its databases.
  identity {
    type         = "UserAssigned"
    identity_ids = [var.identity_id]
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
