# Stateless capacity on EC2 in one region, behind a load balancer.
#
# The sizes follow the region's role: `serving` comes from roles.auto.tfvars.json, which `lifeboat roles` writes. The desired
# number belongs to the scaling policy, hence it is ignored here.

locals {
  min_size = var.serving ? var.full_size : var.standby_size
}

resource "aws_launch_template" "this" {
  name                   = var.name
  image_id               = var.image
  instance_type          = var.instance_type
  update_default_version = true
  vpc_security_group_ids = [aws_security_group.instances.id]

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  user_data = base64encode("#cloud-config\n${yamlencode({
    write_files = [{
      path    = "/etc/default/${var.component}"
      content = join("", [for name, value in var.environment : "${name}=${value}\n"])
    }]
  })}")

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = var.name }
  }
}

resource "aws_autoscaling_group" "this" {
  name                = var.name
  min_size            = local.min_size
  max_size            = var.max_size
  desired_capacity    = local.min_size
  vpc_zone_identifier = var.network.private_subnet_ids
  target_group_arns   = [aws_lb_target_group.this.arn]
  health_check_type   = "ELB"
  enabled_metrics     = ["GroupDesiredCapacity", "GroupInServiceInstances"]

  default_instance_warmup   = 60
  health_check_grace_period = 120

  # A standby that cannot launch must not hang the apply of all the others; readiness reports it.
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 110
    }
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = false
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

resource "aws_autoscaling_policy" "cpu" {
  name                   = "cpu"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = 50

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

# Launches fail exactly when everybody else fails over too. A reservation is the only capacity that is certain.
resource "aws_ec2_capacity_reservation" "this" {
  for_each = var.reserved

  availability_zone       = each.key
  instance_type           = var.instance_type
  instance_platform       = "Linux/UNIX"
  instance_count          = each.value
  instance_match_criteria = "open"
}

resource "aws_iam_role" "this" {
  name = var.name

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "data" {
  count = length(var.statements) > 0 ? 1 : 0

  name = "data"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(var.statements, [{
      Sid      = "Key"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = var.kms_key_arn
    }])
  })
}

resource "aws_iam_instance_profile" "this" {
  name = var.name
  role = aws_iam_role.this.name
}

resource "aws_security_group" "instances" {
  name        = "${var.name}-instances"
  description = "Instances of ${var.name}"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "instances" {
  security_group_id            = aws_security_group.instances.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_egress_rule" "instances" {
  security_group_id = aws_security_group.instances.id
  description       = "Databases, updates, other regions"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
