# A region's network: machines in one subnet, clusters in another, both with a way out, PostgreSQL in one of its own.

resource "azurerm_virtual_network" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  address_space       = [var.cidr]
}

resource "azurerm_subnet" "compute" {
  name                 = "compute"
  resource_group_name  = var.resource_group
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [cidrsubnet(var.cidr, 4, 0)]
  service_endpoints    = ["Microsoft.AzureCosmosDB", "Microsoft.KeyVault", "Microsoft.Storage.Global"]
}

resource "azurerm_subnet" "clusters" {
  count = var.cluster_ports == null ? 0 : 1

  name                 = "clusters"
  resource_group_name  = var.resource_group
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [cidrsubnet(var.cidr, 4, 1)]
  service_endpoints    = ["Microsoft.AzureCosmosDB", "Microsoft.KeyVault", "Microsoft.Storage.Global"]
}

resource "azurerm_subnet" "databases" {
  name                 = "databases"
  resource_group_name  = var.resource_group
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [cidrsubnet(var.cidr, 8, 32)]
  service_endpoints    = ["Microsoft.Storage"] # for the servers' backups

  delegation {
    name = "postgresql"

    service_delegation {
      name    = "Microsoft.DBforPostgreSQL/flexibleServers"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

locals {
  # What clients reach from outside, over the load balancers, by subnet.
  open_ports = merge(
    { compute = var.open_ports },
    var.cluster_ports == null ? {} : { clusters = var.cluster_ports },
  )
}

resource "azurerm_network_security_group" "this" {
  for_each = local.open_ports

  name                = each.key == "compute" ? var.name : "${var.name}-${each.key}"
  resource_group_name = var.resource_group
  location            = var.location

  dynamic "security_rule" {
    for_each = length(each.value) > 0 ? [1] : []

    content {
      name                       = "clients"
      description                = "Clients, over the load balancer"
      priority                   = 100
      direction                  = "Inbound"
      access                     = "Allow"
      protocol                   = "Tcp"
      source_address_prefix      = "Internet"
      source_port_range          = "*"
      destination_address_prefix = "*"
      destination_port_ranges    = each.value
    }
  }
}

resource "azurerm_subnet_network_security_group_association" "this" {
  for_each = azurerm_network_security_group.this

  subnet_id                 = each.key == "compute" ? azurerm_subnet.compute.id : azurerm_subnet.clusters[0].id
  network_security_group_id = each.value.id
}

# The way out: an internal load balancer gives none, and nodes install a container runtime and fetch images when they start.
resource "azurerm_public_ip" "nat" {
  name                = "${var.name}-nat"
  resource_group_name = var.resource_group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
}

resource "azurerm_nat_gateway" "this" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  sku_name            = "Standard"
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  nat_gateway_id       = azurerm_nat_gateway.this.id
  public_ip_address_id = azurerm_public_ip.nat.id
}

resource "azurerm_subnet_nat_gateway_association" "compute" {
  subnet_id      = azurerm_subnet.compute.id
  nat_gateway_id = azurerm_nat_gateway.this.id

  depends_on = [azurerm_nat_gateway_public_ip_association.this]
}

resource "azurerm_subnet_nat_gateway_association" "clusters" {
  count = var.cluster_ports == null ? 0 : 1

  subnet_id      = azurerm_subnet.clusters[0].id
  nat_gateway_id = azurerm_nat_gateway.this.id

  depends_on = [azurerm_nat_gateway_public_ip_association.this]
}
