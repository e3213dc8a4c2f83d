# Sends clients of one route to the regions that want to be served.
#
# Traffic Manager's own probes ask each region's steering endpoint, which answers 200 only while the region is to be served.
# A failover changes answers, not the profile: no control plane takes part in it.

resource "azurerm_traffic_manager_profile" "this" {
  name                   = var.name
  resource_group_name    = var.resource_group
  traffic_routing_method = var.method

  dns_config {
    relative_name = var.name
    ttl           = var.ttl
  }

  monitor_config {
    protocol                     = "HTTPS"
    port                         = var.node_port
    path                         = "@{steering}/${var.route}"
    interval_in_seconds          = 10
    timeout_in_seconds           = 5
    tolerated_number_of_failures = 1
    expected_status_code_ranges  = ["200-200"]
  }
}

resource "azurerm_traffic_manager_external_endpoint" "this" {
  for_each = var.method == "Geographic" ? {} : var.endpoints

  name              = each.key
  profile_id        = azurerm_traffic_manager_profile.this.id
  target            = each.value.target
  endpoint_location = each.value.location
  priority          = var.method == "Priority" ? each.value.priority : null
}

# Of a geographic mapping Traffic Manager answers what is down as well, so that behind each there is a profile which goes on to the
# other regions.
resource "azurerm_traffic_manager_profile" "area" {
  for_each = var.areas

  name                   = each.value.name
  resource_group_name    = var.resource_group
  traffic_routing_method = each.value.method

  dns_config {
    relative_name = each.value.name
    ttl           = var.ttl
  }

  monitor_config {
    protocol                     = "HTTPS"
    port                         = var.node_port
    path                         = "@{steering}/${var.route}"
    interval_in_seconds          = 10
    timeout_in_seconds           = 5
    tolerated_number_of_failures = 1
    expected_status_code_ranges  = ["200-200"]
  }
}

locals {
  of_areas = merge([
    for area, one in var.areas : {
      for index, region in one.regions : "${area}/${region}" => { area = area, region = region, priority = index + 1 }
    }
  ]...)
}

resource "azurerm_traffic_manager_external_endpoint" "area" {
  for_each = local.of_areas

  name              = each.value.region
  profile_id        = azurerm_traffic_manager_profile.area[each.value.area].id
  target            = var.endpoints[each.value.region].target
  endpoint_location = var.endpoints[each.value.region].location
  priority          = var.areas[each.value.area].method == "Priority" ? each.value.priority : null
}

resource "azurerm_traffic_manager_nested_endpoint" "area" {
  for_each = var.areas

  name                    = each.key
  profile_id              = azurerm_traffic_manager_profile.this.id
  target_resource_id      = azurerm_traffic_manager_profile.area[each.key].id
  minimum_child_endpoints = 1
  geo_mappings            = each.value.clients
}
