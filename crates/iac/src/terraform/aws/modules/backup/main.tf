# A region's daily backup, copied into the vault of another region; and every hour that of databases of which a backup is all that
# another region has. Every region has the plan, so that backups go on after a failover without anybody turning them round.
# Replication carries a mistake to every region within a second; only a backup does not.

# Named, for of what is selected by its tag alone only the services that the account has opted in to in this region are backed up.
locals {
  kinds = [
    "arn:${var.partition}:dynamodb:*:*:table/*",
    "arn:${var.partition}:rds:*:*:cluster:*",
    "arn:${var.partition}:rds:*:*:db:*",
    "arn:${var.partition}:s3:::*",
  ]
}

resource "aws_backup_plan" "this" {
  name = var.name

  rule {
    rule_name                = "daily"
    target_vault_name        = var.vault
    schedule                 = var.schedule
    enable_continuous_backup = false

    lifecycle {
      delete_after = var.keep_days
    }

    dynamic "copy_action" {
      for_each = var.copy_to

      content {
        destination_vault_arn = copy_action.value

        lifecycle {
          delete_after = var.keep_days
        }
      }
    }
  }
}

resource "aws_backup_selection" "this" {
  name         = var.name
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = aws_iam_role.this.arn

  resources = local.kinds

  condition {
    string_equals {
      key   = "aws:ResourceTag/lifeboat:backup"
      value = var.app
    }
  }
}

resource "aws_backup_plan" "hourly" {
  count = length(var.hourly_copies_to) > 0 ? 1 : 0

  name = "${var.name}-hourly"

  rule {
    rule_name                = "hourly"
    target_vault_name        = var.vault
    schedule                 = "cron(0 * * * ? *)"
    start_window             = 60
    completion_window        = 120
    enable_continuous_backup = false

    lifecycle {
      delete_after = var.keep_hourly_days
    }

    dynamic "copy_action" {
      for_each = var.hourly_copies_to

      content {
        destination_vault_arn = copy_action.value

        lifecycle {
          delete_after = var.keep_hourly_days
        }
      }
    }
  }
}

resource "aws_backup_selection" "hourly" {
  count = length(var.hourly_copies_to) > 0 ? 1 : 0

  name         = "${var.name}-hourly"
  plan_id      = aws_backup_plan.hourly[0].id
  iam_role_arn = aws_iam_role.this.arn

  resources = local.kinds

  condition {
    string_equals {
      key   = "aws:ResourceTag/lifeboat:copies"
      value = var.app
    }
  }
}

resource "aws_iam_role" "this" {
  name = "${var.name}-backup"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "backup.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = toset([
    "AWSBackupServiceRolePolicyForS3Backup",
    "AWSBackupServiceRolePolicyForS3Restore",
    "service-role/AWSBackupServiceRolePolicyForBackup",
    "service-role/AWSBackupServiceRolePolicyForRestores",
  ])

  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/${each.key}"
}

# A backup that has failed for weeks is noticed here, and not when it is needed.
resource "aws_cloudwatch_metric_alarm" "failed" {
  for_each = toset(["NumberOfBackupJobsFailed", "NumberOfCopyJobsFailed"])

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "A backup or its copy to another region failed."
  namespace           = "AWS/Backup"
  metric_name         = each.key
  dimensions          = { BackupVaultName = var.vault }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 3600
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
}
