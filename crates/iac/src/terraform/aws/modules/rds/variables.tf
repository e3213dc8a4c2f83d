variable "name" {
  description = "Identifier of the instance, and prefix of all names."
  type        = string
}

variable "network" {
  description = "Outputs of the region's network module."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
  })
}

variable "engine_version" {
  description = "Version of PostgreSQL when the instance is created."
  type        = string
}

variable "database" {
  description = "Name of the database that is made in the first writer."
  type        = string
}

variable "clients" {
  description = "Address ranges that may connect, by region: after a failover the clients may be elsewhere."
  type        = map(string)
}

variable "port" {
  description = "TCP port."
  type        = number
}

variable "master_password" {
  description = "Password of the first user; handed over once, kept in no state file."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "instance_class" {
  description = "Class of the instance; the same in every region, so that a promoted replica bears the load."
  type        = string
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "backup_days" {
  description = "For how long any moment can be restored."
  type        = number
}

variable "alarm_actions" {
  description = "ARNs that are told of alarms."
  type        = list(string)
  default     = []
}

variable "app" {
  description = "Value of the tag lifeboat:backup, by which the backup plan finds the instance."
  type        = string
}

variable "source_arn" {
  description = "The writer to replicate when the instance is created; null makes a writer."
  type        = string
  default     = null
}

variable "backups_of" {
  description = "The instance elsewhere whose backups are kept in this region; null: none."
  type        = string
  default     = null
}

variable "storage_gib" {
  description = "Storage at creation, in GiB."
  type        = number
}

variable "lag_alarm_seconds" {
  description = "Replication lag above which a failover could lose too much."
  type        = number
}

variable "exists" {
  description = "Whether there is a database here. A region that restores from backups has only what surrounds it until then."
  type        = bool
  default     = true
}

variable "after" {
  description = "What has to be there before, of another region. Not the whole module: what waits for a dark region would be much."
  type        = any
  default     = null
}
