# What the node may do in its own region, and no more: it cannot create, delete or change the shape of anything.

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

resource "aws_iam_instance_profile" "this" {
  name = var.name
  role = aws_iam_role.this.name
}

resource "aws_iam_role_policy" "this" {
  name   = "lifeboat"
  role   = aws_iam_role.this.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.own, var.statements) })
}

locals {
  own = [
    {
      Sid      = "OwnFile"
      Effect   = "Allow"
      Action   = "ssm:GetParameter"
      Resource = aws_ssm_parameter.file.arn
    },
    {
      Sid      = "OwnCertificates"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = aws_secretsmanager_secret.tls.arn
    },
    {
      Sid      = "OwnKey"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = var.kms_key_arn
    },
    {
      Sid      = "OwnAddress"
      Effect   = "Allow"
      Action   = ["ec2:AssignPrivateIpAddresses", "ec2:AssociateAddress"]
      Resource = "*"
      Condition = {
        StringEquals = { "aws:ResourceTag/Name" = var.name }
      }
    },
  ]
}
