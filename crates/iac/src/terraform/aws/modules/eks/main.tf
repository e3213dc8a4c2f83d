# One region's Kubernetes cluster. What runs in it comes from the GitOps repository, see kubernetes/.
#
# The number of nodes follows the region's role: `serving` comes from roles.auto.tfvars.json, which `lifeboat roles` writes.
# So does the desired number: AWS takes no least number above the desired one, so neither can be raised without the other. No autoscaler of
# nodes is made here; for one that you install, `max_size` is its limit, and an apply sets its number back to that of the role.

locals {
  # Graviton, as the letter after the generation says: m7g, c7gn, but not g5.
  is_arm   = length(regexall("^(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)[.]", var.instance_type)) > 0
  min_size = max(1, var.serving ? var.full_size : var.standby_size) # add-ons need a node even where nothing is served
}

resource "aws_eks_cluster" "this" {
  name                      = var.name
  role_arn                  = aws_iam_role.cluster.arn
  version                   = var.kubernetes_version
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  deletion_protection       = true

  access_config {
    authentication_mode = "API"
  }

  # Extended support costs six times as much, and begins by itself where nothing is said.
  upgrade_policy {
    support_type = "STANDARD"
  }

  vpc_config {
    subnet_ids              = var.network.private_subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = var.kms_key_arn
    }
  }

  zonal_shift_config {
    enabled = true
  }

  depends_on = [aws_iam_role_policy_attachment.cluster]
}

resource "aws_eks_node_group" "this" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "main"
  node_role_arn   = aws_iam_role.nodes.arn
  subnet_ids      = var.network.private_subnet_ids
  instance_types  = [var.instance_type]
  ami_type        = local.is_arm ? "AL2023_ARM_64_STANDARD" : "AL2023_x86_64_STANDARD"

  scaling_config {
    min_size     = local.min_size
    desired_size = local.min_size
    max_size     = max(2, var.max_size)
  }

  update_config {
    max_unavailable_percentage = 25
  }

  depends_on = [aws_iam_role_policy_attachment.nodes]
}

# Without metrics no autoscaler scales, and without volumes no node of Lifeboat keeps its state.
resource "aws_eks_addon" "this" {
  for_each = toset(["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"])

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  resolve_conflicts_on_create = "OVERWRITE" # a new cluster brings its own of most of them
  resolve_conflicts_on_update = "PRESERVE"

  dynamic "pod_identity_association" {
    for_each = each.key == "aws-ebs-csi-driver" ? [aws_iam_role.volumes.arn] : []

    content {
      role_arn        = pod_identity_association.value
      service_account = "ebs-csi-controller-sa"
    }
  }

  depends_on = [aws_eks_node_group.this]
}

# The API is reached from the app's networks: by Argo CD in another region, and by people.
resource "aws_vpc_security_group_ingress_rule" "api" {
  for_each = var.clients

  security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  description       = "API, from ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_eks_access_entry" "admins" {
  for_each = toset(var.admin_arns)

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.key
}

resource "aws_eks_access_policy_association" "admins" {
  for_each = aws_eks_access_entry.admins

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.principal_arn
  policy_arn    = "arn:${var.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

resource "aws_iam_role" "volumes" {
  name = "${var.name}-volumes"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "volumes" {
  role       = aws_iam_role.volumes.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "nodes" {
  name = "${var.name}-nodes"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "nodes" {
  for_each = toset(["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"])

  role       = aws_iam_role.nodes.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/${each.key}"
}
