# The way in: a load balancer that ends TLS and asks every instance for its health.

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Load balancer of ${var.name}"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = var.public ? { everywhere = "0.0.0.0/0" } : var.clients

  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients, ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "To the instances"
  referenced_security_group_id = aws_security_group.instances.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_lb" "this" {
  name                       = var.short_name
  load_balancer_type         = "application"
  internal                   = !var.public
  subnets                    = var.public ? var.network.public_subnet_ids : var.network.private_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = true
  enable_zonal_shift         = true
}

resource "aws_lb_target_group" "this" {
  name        = var.short_name
  vpc_id      = var.network.vpc_id
  protocol    = var.protocol
  port        = var.port
  target_type = "instance"

  deregistration_delay = "30"

  health_check {
    path                = var.check_path
    protocol            = var.protocol
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTPS"
  port              = 443
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}
