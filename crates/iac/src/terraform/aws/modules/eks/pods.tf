# What the app's pods may do: act, without a secret, as a role that has leave for the data that they need in this region. It is that of
# the service account `default` of the app's namespace.

resource "aws_iam_role" "pods" {
  count = length(var.statements) > 0 ? 1 : 0

  name = "${var.name}-pods"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "pods" {
  count = length(var.statements) > 0 ? 1 : 0

  name = "data"
  role = aws_iam_role.pods[0].id

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

resource "aws_eks_pod_identity_association" "pods" {
  count = length(var.statements) > 0 ? 1 : 0

  cluster_name    = aws_eks_cluster.this.name
  namespace       = var.namespace
  service_account = "default"
  role_arn        = aws_iam_role.pods[0].arn
}
