# One region's Lifeboat node: a small machine with a fixed address that replaces itself when it dies.

resource "aws_eip" "this" {
  domain = "vpc"

  tags = { Name = var.name }
}

resource "aws_ssm_parameter" "file" {
  name        = "/${var.name}/lifeboat.yaml"
  description = "The app's file"
  type        = "SecureString"
  key_id      = var.kms_key_arn
  tier        = "Intelligent-Tiering"
  value       = var.file
}

# The node's certificates. Their value is put there by lifeboat/hand-out.sh and is in no state file.
resource "aws_secretsmanager_secret" "tls" {
  name        = "${var.name}/tls"
  description = "Certificates of the Lifeboat node"
  kms_key_id  = var.kms_key_arn
}

resource "aws_launch_template" "this" {
  name                   = var.name
  image_id               = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
  instance_type          = "t4g.small"
  update_default_version = true

  user_data = base64encode(templatefile("${path.module}/start.sh.tftpl", {
    address       = var.address
    allocation_id = aws_eip.this.allocation_id
    certificates  = var.certificates
    etcd          = var.etcd
    file          = aws_ssm_parameter.file.name
    image         = var.image
    member        = file("${path.module}/member.sh")
    node          = var.node
    region        = var.region
    secret        = aws_secretsmanager_secret.tls.name
    tls           = var.tls
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  network_interfaces {
    associate_public_ip_address = "true"
    security_groups             = [aws_security_group.this.id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted   = "true"
      kms_key_id  = var.kms_key_arn
      volume_size = 16
      volume_type = "gp3"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2 # the node runs in a container, one hop further away
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = { Name = var.name }
    }
  }
}

# In the one subnet that has the node's address: what takes its place has to be able to take that over. No instance refresh: it would begin in
# all regions at once, and with the machines go the members of the state store, of which a majority has to stay. The tree's README has the
# commands for one region after the other.
resource "aws_autoscaling_group" "this" {
  name                = var.name
  min_size            = 1
  max_size            = 1
  vpc_zone_identifier = [var.network.public_subnet_ids[0]]

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = false
  }

  # Its first boot asks AWS for its address and its file.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_security_group" "this" {
  name        = var.name
  description = "Lifeboat node"
  vpc_id      = var.network.vpc_id
}

# Steering endpoints are asked by Route 53's health checkers and by nodes of other regions; they say only who is served.
# Everything else on this port wants a token, or another node's certificate.
resource "aws_vpc_security_group_ingress_rule" "api" {
  security_group_id = aws_security_group.this.id
  description       = "API and steering endpoints"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
}

resource "aws_vpc_security_group_ingress_rule" "etcd" {
  for_each = var.etcd == null ? {} : var.peers

  security_group_id = aws_security_group.this.id
  description       = "etcd, from ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = min(var.etcd.ports...)
  to_port           = max(var.etcd.ports...)
}

resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.this.id
  description       = "Probes, other regions, AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
