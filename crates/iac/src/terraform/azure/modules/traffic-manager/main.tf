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
  for_each = var.endpoints

  name              = each.key
  profile_id        = azurerm_traffic_manager_profile.this.id
  target            = each.value.target
  endpoint_location = each.value.location
  priority          = var.method == "Priority" ? each.value.priority : null
}
