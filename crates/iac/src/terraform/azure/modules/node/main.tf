# One region's Lifeboat node: a scale set of one, which replaces it when it dies.

resource "azurerm_linux_virtual_machine_scale_set" "this" {
  name                            = var.name
  resource_group_name             = var.resource_group
  location                        = var.location
  sku                             = "Standard_B2pls_v2"
  instances                       = 1
  admin_username                  = "lifeboat"
  disable_password_authentication = true
  encryption_at_host_enabled      = true

  # Manual: a change of what follows reaches the machine when a person has it made anew, a region after the other. The etcd beside
  # the node lies on its disk.
  upgrade_mode = "Manual"

  custom_data = base64encode(templatefile("${path.module}/start.sh.tftpl", {
    addresses    = concat([var.address], var.public_addresses)
    certificates = var.certificates
    dns_port     = var.dns_port
    etcd         = var.etcd
    file         = base64encode(var.file)
    image        = var.image
    member       = file("${path.module}/member.sh")
    node         = var.node
    tls          = var.tls
    vault        = var.vault
  }))

  admin_ssh_key {
    username   = "lifeboat"
    public_key = var.ssh_public_key
  }

  source_image_reference {
    publisher = "Canonical"
    offer     = "ubuntu-24_04-lts"
    sku       = "server-arm64"
    version   = "latest"
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
      load_balancer_backend_address_pool_ids = concat([azurerm_lb_backend_address_pool.this.id], var.pool_ids)
    }
  }

  identity {
    type = "SystemAssigned"
  }

  depends_on = [azurerm_lb_rule.this]
}

# The address that the app's file names: a load balancer's, so that it stays when the machine is replaced. Packets arrive with it
# (floating IP), and the machine has it too.
resource "azurerm_lb" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  sku                 = "Standard"

  frontend_ip_configuration {
    name                          = "private"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Static"
    private_ip_address            = var.address
  }
}

resource "azurerm_lb_backend_address_pool" "this" {
  name            = "main"
  loadbalancer_id = azurerm_lb.this.id
}

resource "azurerm_lb_probe" "this" {
  name                = "machine"
  loadbalancer_id     = azurerm_lb.this.id
  protocol            = "Tcp"
  port                = 22 # whether the machine is there: etcd and the node answer for themselves
  interval_in_seconds = 5
  probe_threshold     = 2
}

resource "azurerm_lb_rule" "this" {
  for_each = toset([for port in concat([var.port], var.etcd == null ? [] : var.etcd.ports) : tostring(port)])

  name                           = "port-${each.key}"
  loadbalancer_id                = azurerm_lb.this.id
  frontend_ip_configuration_name = "private"
  protocol                       = "Tcp"
  frontend_port                  = each.key
  backend_port                   = each.key
  floating_ip_enabled            = true
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.this.id]
  probe_id                       = azurerm_lb_probe.this.id
}

module "vault" {
  source = "../vault"

  name                    = var.vault
  resource_group          = var.resource_group
  location                = var.location
  tenant_id               = var.tenant_id
  subnet_id               = var.subnet_id
  reader_id               = azurerm_linux_virtual_machine_scale_set.this.identity[0].principal_id
  administrator           = var.administrator
  administrator_addresses = var.administrator_addresses
}

# Move this app's components, and nothing else.
resource "azurerm_role_assignment" "this" {
  for_each = var.scopes

  scope              = each.value
  role_definition_id = var.role_id
  principal_id       = azurerm_linux_virtual_machine_scale_set.this.identity[0].principal_id
}
