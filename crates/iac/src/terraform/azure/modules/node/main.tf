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

  custom_data = base64encode(templatefile("${path.module}/cloud-init.yaml.tftpl", {
    file  = base64encode(var.file)
    image = var.image
    node  = var.node
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
      load_balancer_backend_address_pool_ids = var.pool_ids
    }
  }

  identity {
    type = "SystemAssigned"
  }
}

# The role comes from lifeboat/azure-role.json: move this app's components, and nothing else.
resource "azurerm_role_assignment" "this" {
  for_each = var.scopes

  scope                = each.value
  role_definition_name = var.role
  principal_id         = azurerm_linux_virtual_machine_scale_set.this.identity[0].principal_id
}
