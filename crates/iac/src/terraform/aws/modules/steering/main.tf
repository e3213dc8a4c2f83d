# Whether Route 53 sends clients of one route to one region.
#
# Every Lifeboat node has a steering endpoint per route and region, which answers 200 only while that region is to be served.
# Route 53's own checkers ask all of them; the region counts as healthy when a majority of the nodes says so. A failover
# changes answers, not records: no control plane takes part in it.

resource "aws_route53_health_check" "node" {
  for_each = var.nodes

  type              = "HTTPS"
  ip_address        = each.value.address
  port              = each.value.port
  resource_path     = "@{steering}/${var.route}/${var.region}"
  request_interval  = 10
  failure_threshold = 1
  regions           = ["eu-west-1", "us-east-1", "us-west-2", "ap-southeast-1"]

  tags = { Name = "${var.route} to ${var.region}, says ${each.key}" }
}

# Of two nodes the one in the lost region is silent, so the other has to do; that is why there should be three.
resource "aws_route53_health_check" "majority" {
  type                   = "CALCULATED"
  child_healthchecks     = [for check in aws_route53_health_check.node : check.id]
  child_health_threshold = length(var.nodes) == 2 ? 1 : floor(length(var.nodes) / 2) + 1

  tags = { Name = "${var.route} to ${var.region}" }
}
